import { append } from './append.ts'
import { image } from './image.ts'
import { login } from './login.ts'
import { storm } from './storm.ts'
import { w1a } from './w1a.ts'
import { w1b } from './w1b.ts'
import { w4 } from './w4.ts'
import { w5 } from './w5.ts'
import { w6 } from './w6.ts'
import { w7 } from './w7.ts'
import type { Work } from './work.ts'

/** All works, in the order in which they run. */
export const works: readonly Work[] = [w1a, w1b, append, login, w4, w5, w6, storm, w7, image]
