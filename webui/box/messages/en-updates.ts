/** How the box stands with updates of its software. */
export const updatesEn = {
  'update.title': 'Last update',
  'update.byPackage': 'Updated by installing a newer package only',
  'update.updated': 'Version {version} was installed, has proved itself, and runs.',
  'update.failed': 'Version {version} was not taken. The box goes on with the version it had.',
  'update.downloading': 'Version {version} is being fetched: {percent} %.',
  'update.waiting': 'Version {version} waits.',
  'update.installed': 'Version {version} is ready.',
  'update.trial':
    'Version {version} is being tried. If it does not do its work, the box goes back by itself.',
  'update.why.time': 'The box does not know the time yet.',
  'update.why.disk': 'The disk cannot be written.',
  'update.why.paused': 'You have paused the box.',
  'update.why.link': 'The box is not connected to its operator.',
  'update.why.window': 'It begins in the hours your operator has chosen for it.',
  'update.why.line': 'It could not be fetched whole. The box tries again by itself.',
  'update.why.release_malformed':
    'What the operator published cannot be read. There is nothing for you to do.',
  'update.why.release_signature':
    'What the operator published is not signed as it must be. There is nothing for you to do.',
  'update.why.release_expired': 'What the operator published has expired. There is nothing for you to do.',
} as const;
