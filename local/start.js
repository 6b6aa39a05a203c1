// Plain JavaScript, so that a Node too old to run TypeScript can still say what is wrong.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major > 22 || (major === 22 && minor >= 18)) {
  await import('./start.ts');
} else {
  console.error(
    `Hearth needs Node 22.18 or newer to run from source, this is ${process.versions.node}.\n` +
      'Run `npm ci`, which brings the right Node, and then `npm start`, which uses it.\n' +
      '(If you ran `npm ci --ignore-scripts`, run it without: a script links that Node.)',
  );
  process.exitCode = 2;
}
