/** Matches a docstring that begins with a question word or "Of". Such a docstring is hard to read. */
const RIDDLES = /^(?:What|Whether|Who|Whose|Of|Where)\b/

/** The ESLint rule that reports a docstring whose first word is one of these. */
export const docstrings = {
  meta: {
    type: 'suggestion',
    schema: [],
    messages: {
      riddle:
        'A docstring must not begin with "{{word}}": begin with what a function does ("Returns…"), or what a thing is ("The audio that arrived so far.").'
    }
  },
  create(context) {
    return {
      Program() {
        for (const comment of context.sourceCode.getAllComments()) {
          const word = riddleIn(comment)
          if (word !== undefined) context.report({ loc: comment.loc, messageId: 'riddle', data: { word } })
        }
      }
    }
  }
}

function riddleIn({ type, value }) {
  if (type !== 'Block' || !value.startsWith('*')) return undefined
  return RIDDLES.exec(value.replace(/^[\s*]+/, ''))?.[0]
}
