import { frames, type ClientFrame, type Frame } from './frames.ts'

/** Whether a client may send this frame; a gateway refuses others with `frame_unexpected`. */
export function isClientFrame(frame: Frame): frame is ClientFrame {
  return frames[frame.type].from !== 'gateway'
}
