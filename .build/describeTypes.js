import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import ts from 'typescript'

// A step of `npm run build`. It copies each `description` in a TypeBox schema into the generated type of the
// schema as a comment, because editors show such comments. TypeBox' `Static` keeps these comments in the
// types that users import.

for (const file of readdirSync('dist', { recursive: true, encoding: 'utf8' })) {
  if (!file.endsWith('.d.ts')) continue
  const path = join('dist', file)
  const text = readFileSync(path, 'utf8')
  if (!/export declare const \w+Schema:/.test(text)) continue
  const schemas = await import(pathToFileURL(resolve(path.replace(/\.d\.ts$/, '.js'))).href)
  writeFileSync(path, described(text, schemas))
}

function described(text, schemas) {
  const source = ts.createSourceFile('types.d.ts', text, ts.ScriptTarget.Latest, true)
  const comments = []
  for (const statement of source.statements.filter(ts.isVariableStatement)) {
    for (const { name, type } of statement.declarationList.declarations) {
      describe(type, schemas[name.text], comments)
    }
  }
  // Insert from the end to the beginning, so that the positions of the remaining comments stay valid.
  return comments
    .sort((a, b) => b.at - a.at)
    .reduce((rest, { at, comment }) => rest.slice(0, at) + comment + rest.slice(at), text)
}

/**
 * Adds to `comments` a comment for each property of each object in `type`. `schema`: the schema that has this
 * type.
 */
function describe(type, schema, comments) {
  if (type === undefined || schema === undefined) return
  if (ts.isTypeLiteralNode(type)) {
    for (const member of type.members.filter(ts.isPropertySignature)) {
      const property = schema.properties?.[member.name.text]
      if (property?.description && ts.getJSDocCommentsAndTags(member).length === 0) {
        comments.push({
          at: member.getStart(),
          comment: `/** ${commentOf(property).replaceAll('*/', '*\\/')} */\n`
        })
      }
      describe(member.type, property, comments)
    }
  } else if (ts.isTypeReferenceNode(type) || ts.isImportTypeNode(type)) {
    for (const argument of type.typeArguments ?? []) describe(argument, schema, comments)
  }
}

function commentOf({ description, default: value, unset }) {
  if (value === undefined || value === Infinity || typeof value === 'object') {
    return unset === undefined ? description : `${description}. Default: ${unset}`
  }
  return `${description}. Default: ${typeof value === 'number' ? value.toLocaleString('en') : JSON.stringify(value)}`
}
