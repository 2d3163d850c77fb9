import sdk from './index.js';

export const { AbortError, AnalysisStream, EmotionLLaMA, EmotionLLaMAError, LiveBuffer, Session, libraryVersion, setLog, setThreadCount } = sdk;
export default sdk;
