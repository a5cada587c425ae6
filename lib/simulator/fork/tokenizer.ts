const ESCAPE = '\\'
const QUOTE = "'"
const UNESCAPED: Record<string, string> = { n: '\n', r: '\r', t: '\t', s: ' ' }

/**
 * Returns an argument in single quotes after FreeSWITCH's command tokenizer (switch_utils.c, switch_separate_string),
 * which can turn metadata into invalid JSON. The tokenizer drops apostrophes and one level of backslashes. Outside of
 * quotes, `delimiter` ends the argument.
 */
export function throughTokenizer(argument: string, delimiter: '|' | ' '): string {
  return unquote(cut(`${QUOTE}${argument}${QUOTE}`, delimiter), delimiter)
}

function cut(text: string, delimiter: string): string {
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (char === ESCAPE) i++
    // If the delimiter is not a blank, a quote without a second quote is text. If it is a blank, each quote begins or
    // ends quoted text.
    else if (char === QUOTE && (delimiter === ' ' || quoted || text.indexOf(QUOTE, i + 1) !== -1)) {
      quoted = !quoted
    } else if (char === delimiter && !quoted) return text.slice(0, i)
  }
  return text
}

function unquote(text: string, delimiter: string): string {
  let out = ''
  let end = 0
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!
    if (char === ESCAPE && i + 1 < text.length) {
      const next = text[i + 1]!
      const plain =
        next === QUOTE || next === '"' || next === ESCAPE || (delimiter !== ' ' && next === delimiter)
          ? next
          : UNESCAPED[next]
      if (plain !== undefined) {
        out += plain
        end = out.length
        i++
        continue
      }
    }
    if (char === QUOTE && (quoted || text.indexOf(QUOTE, i + 1) !== -1)) {
      quoted = !quoted
      if (quoted) end = out.length
      continue
    }
    out += char
    if (char !== ' ' || quoted) end = out.length
  }
  return out.slice(0, end)
}
