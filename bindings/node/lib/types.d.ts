/** The kind of a failure, the same in every release. Later releases may have more. */
export type ErrorCode =
  | 'invalid_argument'
  | 'media_undecodable'
  | 'media_too_large'
  | 'not_found'
  | 'pack_invalid'
  | 'out_of_memory'
  | 'overloaded'
  | 'cancelled'
  | 'timeout'
  | 'internal'
  | 'unreachable'
  | (string & {});

/** A call failed. The message is a sentence for a person. */
export class EmotionLLaMAError extends Error {
  readonly code: ErrorCode;
  /** Number of the kind. */
  readonly number: number;
  /** The status that a server answers with; undefined for a kind of a later release. */
  readonly httpStatus: number | undefined;
  readonly cause?: unknown;
  constructor(code: ErrorCode, message: string, options?: { number?: number; cause?: unknown });
}

/** The caller stopped the call. `code` is `cancelled`, `cause` the signal's reason. */
export class AbortError extends EmotionLLaMAError {
  readonly name: 'AbortError';
  constructor(cause?: unknown);
}

/** A rectangle in pixels of the source picture, after rotation. */
export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** A face, followed through the clip. */
export interface Face {
  box: Rect;
  /** How sure the detector is, 0..1. */
  score: number;
  /** Number of the person, the same through the clip. */
  track: number;
  /** Seconds from the start. */
  timeS: number;
}

/** The frame that was described. */
export interface DescribedFrame {
  timeS: number;
  index: number;
  face: Rect | null;
}

/** Something that was measured. */
export interface Cue {
  name: string;
  value?: number;
  unit?: string;
  /** Distance from the norm, in standard deviations. */
  z: number;
  level: 'low' | 'normal' | 'high' | (string & {});
  reading: string;
}

/** Something that is no error but that the caller should know. */
export interface Note {
  name: string;
  message: string;
}

export interface Usage {
  promptTokens: number;
  completionTokens: number;
  /** Positions that a session had read before. */
  cachedTokens: number;
}

/** Milliseconds of each stage. Some run side by side, so the parts may add up to more than the total. */
export interface Timings {
  decode: number;
  preprocess: number;
  encode: number;
  prefill: number;
  generate: number;
  total: number;
}

export interface ModelInfo {
  name: string;
  version: string;
  digest: string;
}

/** What a person in a clip feels, and what shows it. Fields of later releases are kept. */
export interface Analysis {
  response: string;
  /** The likeliest label; empty where a server's answer names none. */
  emotion: string;
  /** Its probability; null only from a server that does not tell. */
  confidence: number | null;
  /** Each label with its probability. Labels that are whole numbers come first, as in every object of JavaScript. */
  probabilities: Record<string, number>;
  explanation: string;
  transcript: string | null;
  /** ISO 639-1, where speech was recognised. */
  language?: string;
  faces: Face[];
  frame: DescribedFrame | null;
  cues: Cue[];
  usage: Usage;
  timingsMs: Timings;
  /** Milliseconds until the label and its probability were known; the text follows. 0 where a server does not tell. */
  timeToLabelMs: number;
  model: ModelInfo;
  notes: Note[];
}

export interface StageEvent {
  type: 'stage';
  stage: 'upload' | 'decode' | 'observe' | 'respond' | (string & {});
}

/** The label is known; the text follows. A server of the published API does not tell it. */
export interface LabelEvent {
  type: 'label';
  emotion: string;
  /** Its probability, 0 to 1. */
  confidence: number;
  /** Each allowed label with its probability, in the order of the labels. */
  probabilities: Record<string, number>;
}

export interface TextEvent {
  type: 'text';
  text: string;
}

export interface ResultEvent {
  type: 'result';
  analysis: Analysis;
}

export type AnalysisEvent = StageEvent | LabelEvent | TextEvent | ResultEvent;

/** The events of an analysis that runs. It began when the stream was made; what goes wrong is thrown while events are fetched. */
export class AnalysisStream implements AsyncIterableIterator<AnalysisEvent> {
  private constructor();
  next(): Promise<IteratorResult<AnalysisEvent, undefined>>;
  /** Stops the work; resolves once it has stopped. Leaving a `for await` calls it. */
  return(value?: any): Promise<IteratorResult<AnalysisEvent, any>>;
  /** Stops the work: the next event is an `AbortError`. */
  cancel(reason?: unknown): void;
  /** Goes through the events that are left, and gives the analysis. */
  result(): Promise<Analysis>;
  [Symbol.asyncIterator](): this;
}

/** How the text is written. */
export interface SamplingOptions {
  maxNewTokens?: number;
  temperature?: number;
  topP?: number;
  topK?: number;
  repetitionPenalty?: number;
  /** 0 to 2^64 - 1. */
  seed?: number | bigint;
  greedy?: boolean;
}

export interface QuestionOptions extends SamplingOptions {
  task?: 'emotion' | 'reason' | 'free';
  /** A question; may begin with `[emotion]` or `[reason]`. */
  prompt?: string;
  /** 2 to 64 words. */
  labels?: readonly string[];
  promptPath?: 'train' | 'eval' | 'demo';
  /** Stops the call; it fails with an `AbortError` whose `cause` is the signal's reason. */
  signal?: AbortSignal;
}

export interface ClipOptions {
  /** `auto`, `none`, or the words. */
  transcript?: 'auto' | 'none' | (string & {});
  /** The frame that is described, or seconds from the start. */
  frame?: 'peak' | 'first' | 'middle' | number;
  features?: {
    mae?: readonly number[] | Float32Array;
    videomae?: readonly number[] | Float32Array;
    hubert?: readonly number[] | Float32Array;
  };
  limits?: { maxDurationS?: number; maxPixels?: number; maxStreams?: number; maxBytes?: number };
  signal?: AbortSignal;
}

export interface PackInfo {
  name: string;
  version: string;
  digest: string;
  formatVersion?: number;
  architecture?: string;
  description?: string;
}

/** What an engine is and can; of a server what it says of these. */
export interface EngineInfo {
  version?: string;
  abiVersion?: number;
  pack?: PackInfo;
  labels?: string[];
  tasks?: string[];
  devices?: string[];
  threads?: number;
  url?: string;
  protocol?: 'v1' | 'gradio' | 'fastapi' | (string & {});
  [further: string]: unknown;
}
