package org.emotionllama;

/**
 * Features that were computed elsewhere, for converted packs; null where there are none.
 *
 * @param mae of the face
 * @param videomae of the video
 * @param hubert of the voice
 */
public record Features(float[] mae, float[] videomae, float[] hubert) {}
