import { AnalysisStream, Analysis, ClipOptions, EngineInfo, QuestionOptions } from './types.js';

export * from './types.js';

export interface BrowserOptions {
  /** `http://…` or `https://…`. */
  apiUrl: string;
  apiKey?: string;
  /** For a whole call; 600 when left out. */
  timeoutS?: number;
  /** Every path is the server's. */
  upload?: 'never';
}

/** The bytes of a file, or the path of a file of the server. */
export type Clip =
  | { video: Blob | ArrayBuffer | ArrayBufferView; videoPath?: undefined }
  | { videoPath: string; video?: undefined };

export type AnalyzeOptions = Clip & ClipOptions & QuestionOptions;
export type SessionOptions = Clip & ClipOptions;

/** A model of a running server, asked with fetch. */
export class EmotionLLaMA implements AsyncDisposable {
  constructor(options: BrowserOptions);
  open(options?: { signal?: AbortSignal }): Promise<void>;
  info(options?: { signal?: AbortSignal }): Promise<EngineInfo>;
  analyze(options: AnalyzeOptions): Promise<Analysis>;
  stream(options: AnalyzeOptions): AnalysisStream;
  session(options: SessionOptions): Promise<Session>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export class Session implements AsyncDisposable {
  private constructor();
  ask(question?: QuestionOptions): Promise<Analysis>;
  stream(question?: QuestionOptions): AnalysisStream;
  reset(): Promise<void>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
