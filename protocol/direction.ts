import { frames, type ClientFrame, type Frame, type GatewayFrame } from './frames.ts'

/** Whether a client may send this frame; a gateway refuses others with `frame_unexpected`. */
export function isClientFrame(frame: Frame): frame is ClientFrame {
  return frames[frame.type].from !== 'gateway'
}

/** Whether a gateway may send this frame. */
export function isGatewayFrame(frame: Frame): frame is GatewayFrame {
  return frames[frame.type].from !== 'client'
}
