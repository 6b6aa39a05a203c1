import { testUnplugging } from './unplug-fixture.ts';

testUnplugging('exfat');
