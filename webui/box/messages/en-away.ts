/** The dashboard from away from home. */
export const awayEn = {
  'away.title': 'This page from away',
  'away.lead':
    'You can open this page from anywhere, through a relay of your fleet. It asks for a key first, then for the password of this page. The relay reads along: leave it off where you do not need it.',
  'away.on': 'On',
  'away.off': 'Off',
  'away.turnOn': 'Switch on',
  'away.turnOff': 'Switch off',
  'away.newKey': 'Make another key',
  'away.key': 'Your key',
  'away.keyOnce': 'Keep it somewhere safe: it is shown this once. Another one can be made at any time.',
  'away.address': 'Address',
  'away.noRelay':
    'Your fleet has told no address yet. That takes a moment; some fleets have no relay for this.',
  'away.since': 'On since',
  'away.lastUsed': 'Last used',
  'away.never': 'Never',
  'away.from': 'from {address}',
  'away.now': 'Who is in now',
  'away.atHome': 'A new key is made at home.',
} as const;
