/// <reference types="node" />

import { AnalysisStream, Analysis, ClipOptions, EngineInfo, QuestionOptions } from './types';

export * from './types';

interface CommonOptions {
  /** Further options of the library, for releases that have more. One that the library does not know is an `invalid_argument`. */
  [further: string]: unknown;
}

/** A model of this machine. */
export interface PackOptions extends CommonOptions {
  /** A directory, or a name that is looked for in `search`. Left out: the built-in model. */
  pack?: string;
  apiUrl?: undefined;
  search?: readonly string[];
  /** Whether checksums are compared; true when left out. */
  verify?: boolean;
  /** How many threads each call computes with; one per processor when left out. */
  threads?: number;
  /** Where it computes: `auto` (a graphics processor if one can be used), `cpu`, `cuda`, `cuda:1` or `cuda:UUID`; `auto` when left out. */
  device?: string;
  /** Told how many bytes are loaded. Returning false stops the load. */
  onProgress?: (done: number, total: number) => unknown;
}

/** A running server. */
export interface ServerOptions extends CommonOptions {
  /** `http://…` or `https://…`. */
  apiUrl: string;
  pack?: undefined;
  apiKey?: string;
  /** For a whole call; 600 when left out. */
  timeoutS?: number;
  /** 10 when left out. */
  connectTimeoutS?: number;
  /** PEM certificates to trust in place of the usual ones. */
  caFile?: string;
  /** `auto`: files that can be read here are sent; `never`: every path is the server's. */
  upload?: 'auto' | 'never';
}

/** Bytes of a video, sound or picture file. */
export type Video = ArrayBuffer | ArrayBufferView | Blob | AsyncIterable<Uint8Array>;

/** One clip: a file, bytes, or a live buffer. */
export type Clip =
  | { videoPath: string | URL; video?: undefined; live?: undefined }
  | { video: Video; videoPath?: undefined; live?: undefined }
  | {
      live: LiveBuffer;
      /** How many of the last seconds; all when left out. */
      seconds?: number;
      videoPath?: undefined;
      video?: undefined;
    };

export type AnalyzeOptions = Clip & ClipOptions & QuestionOptions;
export type SessionOptions = Clip & ClipOptions;

/** A model: loaded here, or of a running server. Opened by the first call, or by `open`. Any number of calls may run at once. */
export class EmotionLLaMA implements AsyncDisposable {
  constructor(options?: PackOptions | ServerOptions);
  /** Loads the model now, or finds the server. */
  open(options?: { signal?: AbortSignal }): Promise<void>;
  info(options?: { signal?: AbortSignal }): Promise<EngineInfo>;
  analyze(options: AnalyzeOptions): Promise<Analysis>;
  /** As `analyze`, but gives the events one by one while the work goes on. */
  stream(options: AnalyzeOptions): AnalysisStream;
  /** Begins a conversation about a clip, which is decoded and read once. */
  session(options: SessionOptions): Promise<Session>;
  /** Frees the model when what runs is done. Closing twice is allowed; calls after it fail. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A conversation about one clip. Answers one question at a time; another at the same time fails with `overloaded`. */
export class Session implements AsyncDisposable {
  private constructor();
  /** Asks a question, after those before. One that fails or is stopped leaves no trace. */
  ask(question?: QuestionOptions): Promise<Analysis>;
  stream(question?: QuestionOptions): AnalysisStream;
  /** Forgets the questions and answers, and keeps the clip. */
  reset(): Promise<void>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export type PixelFormat = 'rgb' | 'bgr' | 'rgba' | 'bgra' | 'nv12' | 'i420' | 'gray';

export interface Frame {
  /** The planes one after the other; or give `planes`. */
  data?: ArrayBuffer | ArrayBufferView;
  planes?: readonly (ArrayBuffer | ArrayBufferView)[];
  /** Bytes from row to row of each plane; rows without gaps when left out. */
  strides?: readonly number[];
  format: PixelFormat;
  width: number;
  height: number;
  /** Seconds, on the clock that the sound has too. */
  timeS: number;
}

export interface SamplesOptions {
  /** Hertz. */
  rate: number;
  /** 1 when left out; samples of all channels by turns. */
  channels?: number;
  /** Seconds, on the clock that the pictures have too. */
  timeS: number;
  /** For samples that are bytes. */
  format?: 'i16' | 'f32';
}

export interface LiveInfo {
  frames: number;
  durationS: number;
  memoryBytes: number;
}

/** The last seconds of a camera and a microphone. Its methods are synchronous and read the memory that they are given where it is. */
export class LiveBuffer implements Disposable {
  constructor(options?: { seconds?: number; maxSide?: number; maxFramesPerSecond?: number });
  pushFrame(frame: Frame): void;
  pushSamples(samples: Int16Array | Float32Array | ArrayBuffer | ArrayBufferView, options: SamplesOptions): void;
  readonly info: LiveInfo;
  /** Forgets all pictures and all sound; the clock begins anew. */
  clear(): void;
  close(): void;
  [Symbol.dispose](): void;
}

export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'trace';

/** Sends the log of the whole process to `listener`, up to `level` (`info`); null turns it off. No message holds media or answers. */
export function setLog(listener: ((entry: { level: LogLevel; target: string; message: string }) => void) | null, level?: LogLevel): void;

/** How many threads each call computes with, for clients that are opened later and do not say it. 0 is one per processor. */
export function setThreadCount(threads: number): void;

/** The version of the native library, and its ABI's number. */
export function libraryVersion(): { version: string; abiVersion: number };
