// The output of sox 14.4 for mu-law, made by these commands:
//   sox -t ul -r 8000 -c 1 codes.ul -t s16 -L decoded.s16        codes.ul: the bytes 0 to 255
//   sox -D -t s16 -L -r 8000 -c 1 edges.s16 -t ul encoded.ul     edges.s16: edgeSamples(), below

/** The L16 samples to which sox decodes the codes 0 to 255. */
export const DECODED = Buffer.from(
  `
hIKEhoSKhI6EkoSWhJqEnoSihKaEqoSuhLKEtoS6hL6EwYTDhMWEx4TJhMuEzYTPhNGE04TVhNeE2YTbhN2E3wThBOIE4wTkBOUE
5gTnBOgE6QTqBOsE7ATtBO4E7wTwxPBE8cTxRPLE8kTzxPNE9MT0RPXE9UT2xPZE98T3RPik+OT4JPlk+aT55Pkk+mT6pPrk+iT7
ZPuk++T7JPxk/JT8tPzU/PT8FP00/VT9dP2U/bT91P30/RT+NP5U/nT+jP6c/qz+vP7M/tz+7P78/gz/HP8s/zz/TP9c/2z/fP+I
/5D/mP+g/6j/sP+4/8D/yP/Q/9j/4P/o//D/+P8AAHx9fHl8dXxxfG18aXxlfGF8XXxZfFV8UXxNfEl8RXxBfD58PHw6fDh8Nnw0
fDJ8MHwufCx8KnwofCZ8JHwifCD8Hvwd/Bz8G/wa/Bn8GPwX/Bb8FfwU/BP8EvwR/BD8DzwPvA48DrwNPA28DDwMvAs8C7wKPAq8
CTwJvAg8CLwHXAccB9wGnAZcBhwG3AWcBVwFHAXcBJwEXAQcBNwDnANsA0wDLAMMA+wCzAKsAowCbAJMAiwCDALsAcwBrAGMAXQB
ZAFUAUQBNAEkARQBBAH0AOQA1ADEALQApACUAIQAeABwAGgAYABYAFAASABAADgAMAAoACAAGAAQAAgAAAA=
`,
  'base64'
)

/** The codes to which sox encodes edgeSamples(). */
export const ENCODED = Buffer.from(
  `
fv5+/v/+/////////v/+fv5+/n7+fn7+//7////////+//5+/n7+fv5+/X5+/v/////+//5+/n7+fv5+/n7+fv19///+fv5+/n7+
fv5+/n79fv19/X39ff5+/X39ff19/X39ff19/H38fPx8/Hz8fPt7+3v7e/t7+3v7e/p7+nr6evp6+Hj3d/d393f3d/d393f2d/Z2
9nb2dvBw72/vb+9v72/vb+9v72/vb+9v72/oaOdn52fnZ+dn52fnZ+dn52fnZ+dn3FzbW9tb21vbW9tb21vbW9tb21vbW85OzU3N
Tc1NzU3NTc1NzU3NTc1NzU2/P74+vj6+Pr4+vj6+Pr4+vj6+Pr4+ry+vL68vry+vL68vry+vL68vry+vL58fnx+fH58fnx+fH58f
nx+fH58fnx+PD48Pjw+PD48Pjw+PD48Pjw+PD48PgACAAIAAgACAAIAAgACAAIAAgACAAIAA////gIAAAA==
`,
  'base64'
)

/**
 * Returns samples at and next to each power of two, where mu-law's segments begin and rounding errors show.
 */
export function edgeSamples(): Int16Array {
  const samples: number[] = []
  for (let power = 0; power < 16; power++) {
    for (const off of [-9, -4, -3, -2, -1, 0, 1, 2, 3, 4, 8]) {
      samples.push((1 << power) + off, -(1 << power) - off)
    }
  }
  samples.push(32_767, -32_768, 0, -1, 1, 32_635, 32_636, -32_635, -32_636)
  return Int16Array.from(samples, (sample) => Math.max(-32_768, Math.min(32_767, sample)))
}
