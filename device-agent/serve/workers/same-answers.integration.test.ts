import { useWorkers } from '../serve-fixture.ts';
import { bundledWorkers } from './workers-fixture.ts';

/** What one process says, two workers say as well: the same tests, on them. */
useWorkers(await bundledWorkers());
await import('../content-server.integration.test.ts');
await import('../headers.integration.test.ts');
await import('../limits.integration.test.ts');
await import('../ranges.integration.test.ts');
await import('../rfc.integration.test.ts');
await import('../smuggling.integration.test.ts');
