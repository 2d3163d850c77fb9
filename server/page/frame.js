// The frame that was judged, with a box about the face.
// SPDX-License-Identifier: Apache-2.0

import { once, settled } from "./clip.js";

const WIDEST = 1280;
// A frame is shown from its time on; rounding must not fall to the one before.
const AFTER_S = 0.001;
// How often a picture that is not there yet is drawn again: for a second.
const TRIES = 20;

/** Draws the frame of `clip` at `frame.time_s` and the box `frame.face`. False if the browser cannot show it. */
export async function draw(canvas, clip, frame) {
  try {
    const picture = clip.kind === "image" ? clip.element : await seek(clip, frame.time_s);
    if (clip.kind === "image") await picture.decode();
    const width = picture.videoWidth ?? picture.naturalWidth;
    const height = picture.videoHeight ?? picture.naturalHeight;
    if (!width || !height) return false;
    const scale = Math.min(1, WIDEST / width);
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const context = canvas.getContext("2d");
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    // Near its end a video may say that it has a picture a moment before it does: until then nothing is drawn.
    for (let tries = 0; clip.kind === "video" && isEmpty(context) && tries < TRIES; tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    }
    if (frame.face) box(context, frame.face, scale);
    return true;
  } catch {
    return false;
  }
}

/** Whether nothing was drawn: a picture of a video is opaque. */
function isEmpty(context) {
  return context.getImageData(0, 0, 1, 1).data[3] === 0;
}

/** A picture of the clip at `time`, in an element of its own: the player stays where the person put it. */
async function seek(clip, time) {
  if (clip.kind !== "video") throw new Error("there is no picture to show");
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.preload = "auto";
  video.src = clip.url;
  await settled(video);
  const sought = once(video, "seeked");
  video.currentTime = Math.min(time + AFTER_S, video.duration);
  await sought;
  if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) await once(video, "canplay");
  return video;
}

/** The box is in pixels of the clip. A dark line beside the light one can be seen on any picture. */
function box(context, { x, y, width, height }, scale) {
  const line = Math.max(2, context.canvas.width / 180);
  context.lineJoin = "round";
  for (const [color, thickness] of [["rgb(0 0 0 / 55%)", 2 * line], ["#5fe3d3", line]]) {
    context.strokeStyle = color;
    context.lineWidth = thickness;
    context.beginPath();
    context.roundRect(x * scale, y * scale, width * scale, height * scale, 3 * line);
    context.stroke();
  }
}
