package org.emotionllama;

/**
 * What a live buffer holds.
 *
 * @param frames pictures
 * @param durationS seconds
 * @param memoryBytes bytes
 */
public record LiveInfo(int frames, double durationS, long memoryBytes) {}
