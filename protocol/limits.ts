/**
 * Every number that bounds what a box, a client or an operator can make grow. Limits are part of the
 * contract: the receiver refuses what is over them, with a reason.
 */
export const LIMITS = {
  /** Objects asked for in one `sources-wanted`. */
  sourcesWanted: 16,
  /** Boxes named for one object. */
  sources: 8,
  /** Largest MQTT payload either side sends or accepts, bytes. */
  mqttPayloadBytes: 256 * 1024,
  /** Smallest chunk: what one Range request, one verification and one lost download step cost, bytes. */
  chunkSizeBytesMin: 1024 * 1024,
  /** Most chunks in an asset: keeps its hash list under 128 KiB. */
  chunksPerAsset: 4096,
  /** Largest asset, bytes (4096 chunks of 64 MiB). */
  assetSizeBytes: 4096 * 64 * 1024 * 1024,
  /** Longest asset path, bytes of UTF-8. */
  pathBytes: 1024,
  /** Entries in one page of an index message. */
  indexEntriesPerPage: 500,
  /** Pages in one index: a box holds at most this many times `indexEntriesPerPage` assets. */
  indexPages: 1000,
  /** Lines in one deliveries message. */
  deliveriesPerBatch: 200,
  /** Requests counted by one line of a deliveries message: a 32-bit integer, as it is stored. */
  requestsPerDelivery: 2 ** 31 - 1,
  /** Asset states in one report message. */
  assetsPerReport: 200,
  /** Assets named in one proposal of evictions. */
  evictionsPerProposal: 200,
  /** Damaged chunks named in one integrity message. */
  damagedChunksPerReport: 1000,
  /** Disks and network interfaces in one hardware message. */
  hardwareItems: 32,
  /** Free text from a machine (model names, error messages), characters. */
  textChars: 200,
  /** JSON body of an HTTP request to either API, bytes. */
  httpBodyBytes: 1024 * 1024,
  /** Assets named in one API request. */
  assetsPerRequest: 1000,
  /** Placements (assets times boxes) made by one API request. */
  placementsPerRequest: 10_000,
  /** Placements told of one box, or of one page of assignments. */
  placementsListed: 10_000,
  /** A certificate request in PEM, characters. */
  csrChars: 4_000,
  /** A certificate chain in PEM, characters. */
  certificateChainChars: 32_000,
  /** Relays a box is told of. */
  relays: 16,
  /** Boxes named of those that rollouts leave out. */
  leftOutBoxes: 10,
  /** Sessions at one box's dashboard from away at once; one more ends the oldest. */
  awaySessions: 20,
  /** Metadata files in one publication of releases. */
  metadataFiles: 300,
  /** Boxes named by one rollout. */
  boxesPerRollout: 10_000,
  /** Rows in one page of an API list. */
  pageRows: 200,
} as const;

/**
 * The chunk size for an asset: 1 MiB, doubled until the asset has at most 4096 chunks.
 * @param sizeBytes size of the whole asset, 0 or more
 * @returns bytes, a power of two from 1 MiB to 64 MiB
 */
export function chunkSizeFor(sizeBytes: number): number {
  let chunkSize: number = LIMITS.chunkSizeBytesMin;
  while (Math.ceil(sizeBytes / chunkSize) > LIMITS.chunksPerAsset) chunkSize *= 2;
  return chunkSize;
}

/** How many chunks an asset has; an empty asset has none. */
export function chunkCount(sizeBytes: number, chunkSizeBytes: number): number {
  return Math.ceil(sizeBytes / chunkSizeBytes);
}
