import { read, readv } from 'node:fs';

/**
 * Threads of libuv's pool that objects leave to everything else (names, passwords, the dashboard's files, and the few
 * who do one thing at a time on the disk): what hangs in the kernel keeps its thread until the disk answers, and
 * without this four reads would stop the whole program.
 */
const LEFT_TO_OTHERS = 4;
/** libuv's own default, unless the environment says otherwise before the pool is first used. */
const DEFAULT_POOL = 4;

type Done = (error: NodeJS.ErrnoException | null, bytesRead: number) => void;

/** The disk has gone while this waited for its turn. */
function givenUp(): NodeJS.ErrnoException {
  return Object.assign(new Error('the disk has gone'), { code: 'ENODEV' });
}

/**
 * Reads and writes of objects take turns for a bounded part of the pool's threads: more would only queue for a thread.
 * One for the whole process, as the pool is.
 */
export class DiskTurns {
  readonly most: number;
  #underWay = 0;
  #waiting: { begin: () => void; giveUp: () => void }[] = [];

  constructor(poolSize = Number(process.env.UV_THREADPOOL_SIZE) || DEFAULT_POOL) {
    this.most = Math.max(2, poolSize - LEFT_TO_OTHERS);
  }

  get underWay(): number {
    return this.#underWay;
  }
  get waiting(): number {
    return this.#waiting.length;
  }

  /** As fs.read. */
  read(fd: number, room: Buffer, offset: number, length: number, position: number, done: Done): void {
    if (this.#underWay >= this.most) {
      this.#wait(() => this.read(fd, room, offset, length, position, done), done);
      return;
    }
    this.#underWay++;
    read(fd, room, offset, length, position, (error, bytesRead) => {
      this.#next();
      done(error, bytesRead);
    });
  }

  /** As fs.readv. */
  readv(fd: number, rooms: Buffer[], position: number, done: Done): void {
    if (this.#underWay >= this.most) {
      this.#wait(() => this.readv(fd, rooms, position, done), done);
      return;
    }
    this.#underWay++;
    readv(fd, rooms, position, (error, bytesRead) => {
      this.#next();
      done(error, bytesRead);
    });
  }

  /** Anything else that takes a thread for as long as the disk takes. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#underWay < this.most) this.#underWay++;
    else {
      await new Promise<void>((resolve, reject) => {
        // Counted when its turn comes, not when it is told so: nobody slips in between.
        const begin = () => {
          this.#underWay++;
          resolve();
        };
        this.#waiting.push({ begin, giveUp: () => reject(givenUp()) });
      });
    }
    try {
      return await work();
    } finally {
      this.#next();
    }
  }

  /** The disk has gone: those that wait for their turn are told so, instead of waiting for those that hang. */
  giveUp(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) one.giveUp();
  }

  #wait(begin: () => void, done: Done): void {
    this.#waiting.push({ begin, giveUp: () => done(givenUp(), 0) });
  }

  #next(): void {
    this.#underWay--;
    this.#waiting.shift()?.begin();
  }
}

let shared: DiskTurns | null = null;

/** The process's own; made at the first read, when the environment is settled. */
export function diskTurns(): DiskTurns {
  shared ??= new DiskTurns();
  return shared;
}
