package org.emotionllama;

/**
 * What a live buffer keeps; null leaves a default as it is.
 *
 * @param seconds seconds that are kept, 0.1 to 120, default 10
 * @param maxSide pictures are scaled down so that the longer side has at most so many pixels, default 1280
 * @param maxFramesPerSecond pictures that come faster are left out, default 15
 */
public record LiveOptions(Double seconds, Integer maxSide, Double maxFramesPerSecond) {}
