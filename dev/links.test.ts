import assert from 'node:assert/strict'
import { existsSync, globSync, mkdirSync, mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** The text as a reader sees it: what stands in code is no heading and no link. */
function withoutCode(markdown: string): string {
  return markdown.replaceAll(/^```[^]*?^```$/gm, '').replaceAll(/<!--[^]*?-->/g, '')
}

/** The anchors of a page's headings, as GitHub makes them. */
function findAnchors(markdown: string): Set<string> {
  const anchors = new Set<string>()
  for (const [, title = ''] of withoutCode(markdown).matchAll(/^#{1,6} +(.+?) *$/gm)) {
    const text = title.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const anchor = text.replaceAll(/[^\p{Letter}\p{Number}\p{Mark}_ -]/gu, '').replaceAll(' ', '-')
    let unique = anchor
    for (let count = 1; anchors.has(unique); count += 1) unique = `${anchor}-${count}`
    anchors.add(unique)
  }
  return anchors
}

/** Where links and images point to. */
function findTargets(markdown: string): string[] {
  const text = withoutCode(markdown).replaceAll(/`[^`\n]*`/g, 'code')
  const inline = text.matchAll(/\]\(<?([^)>\s]+)>?(?: "[^"]*")?\)/g)
  const references = text.matchAll(/^\[[^\]]+\]: +(\S+)$/gm)
  return [...inline, ...references].map(([, target = '']) => target)
}

/** The links of a file under `folder` that lead nowhere, one line each. Those to other sites are left alone. */
function findBrokenLinks(folder: string, file: string): string[] {
  const markdown = readFileSync(join(folder, file), 'utf8')
  return findTargets(markdown).flatMap((target) => {
    if (/^[a-z]+:/.test(target)) return []
    const [path = '', anchor] = target.split('#')
    const full = path === '' ? join(folder, file) : join(folder, dirname(file), decodeURIComponent(path))
    if (relative(folder, full).startsWith('..') || !existsSync(full)) return [`${file}: there is no ${target}`]
    if (anchor === undefined || findAnchors(readFileSync(full, 'utf8')).has(anchor)) return []
    return [`${file}: no heading has the anchor of ${target}`]
  })
}

describe('the Markdown files', () => {
  it('link to files and headings that are there', () => {
    const files = globSync('**/*.md', { cwd: root, exclude: ['**/node_modules/**', '**/artifacts/**'] })
    assert.ok(files.length > 10, 'the repository was read')
    assert.deepEqual(
      files.flatMap((file) => findBrokenLinks(root, file)),
      [],
    )
  })
})

describe('the check of links', () => {
  it('tells of files and headings that are not there', () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), 'im-links-'))
    mkdirSync(join(folder.path, 'docs'))
    writeFileSync(
      join(folder.path, 'docs/a.md'),
      '# Here\n[1](#here) [2](#gone) [3](b.md) [4](../c.md#c) [5](../../d)\n',
    )
    writeFileSync(
      join(folder.path, 'c.md'),
      '# C\n[a](docs/a.md#here) [a](docs/a.md#there) [away](https://example.org/x)\n',
    )
    assert.deepEqual(findBrokenLinks(folder.path, 'docs/a.md'), [
      'docs/a.md: no heading has the anchor of #gone',
      'docs/a.md: there is no b.md',
      'docs/a.md: there is no ../../d',
    ])
    assert.deepEqual(findBrokenLinks(folder.path, 'c.md'), ['c.md: no heading has the anchor of docs/a.md#there'])
  })

  it('makes anchors as GitHub does', () => {
    const page = '# The `im` command\n## A & B, c_d\n## A & B, c_d\n### [Link](x.md)!\n```sh\n# no heading\n```\n'
    assert.deepEqual([...findAnchors(page)], ['the-im-command', 'a--b-c_d', 'a--b-c_d-1', 'link'])
  })

  it('sees links in text and below it, and none in code', () => {
    const page = '[a](x.md) ![b](<y.png>) [c](z.md#d "title")\n`[e](no.md)`\n```\n[f](no.md)\n```\n[g]: w.md\n'
    assert.deepEqual(findTargets(page), ['x.md', 'y.png', 'z.md#d', 'w.md'])
  })
})
