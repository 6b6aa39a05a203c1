import { useWorkers } from '../serve-fixture.ts';
import { bundledWorkers } from './workers-fixture.ts';

/** What one process says, two workers say as well: the same tests, on them. */
useWorkers(await bundledWorkers());
await import('../encodings/encodings.integration.test.ts');
await import('../http2/http2.integration.test.ts');
await import('../tls/tls.integration.test.ts');
