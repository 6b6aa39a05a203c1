import { testUnplugging } from './unplug-fixture.ts';

testUnplugging('ntfs');
