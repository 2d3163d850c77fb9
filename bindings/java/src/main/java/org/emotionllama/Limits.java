package org.emotionllama;

/**
 * How large a file may be; null leaves a limit as it is.
 *
 * @param maxDurationS seconds
 * @param maxPixels pixels of a picture
 * @param maxStreams streams of a file
 * @param maxBytes bytes of a file
 */
public record Limits(Double maxDurationS, Long maxPixels, Integer maxStreams, Long maxBytes) {}
