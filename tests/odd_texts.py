"""Texts with all that is odd in Unicode, for the tests of tokenizing."""

from hypothesis import strategies as st

# All that is white space to Python but " " and the line's end; the library does not take the four
# from U+001C for white space.
ODD_SPACES = "\t\r\v\f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, (*range(0x1C, 0x20), *range(0x2000, 0x200B)))
)
TEXT = """Krish likes pizza, but he doesn't like burger.  (two  spaces,   three)
"On sunday I want to eat 3.14 pies!" said Zo\u00eb; it\u2019s
 na\u00efve \u2014 caf\u00e9, \u0130stanbul
the and/or e-mail costs $5 \u0939\u093f\u0928\u094d\u0926\u0940
\uac01 <unk> <eos> \U0001f600 a\u0301 \u212b the the
\tindented\t\tcode()  \n \n    x = 1\u00a0kg\u2028new\x85line \x1c sep\x1d
"""
# What joins what stands before it, what is white space and what is nearly so, and what changes.
ODD = [
    *"\u0301\u0323\u0308\u0345\u0940\u09be\u3099\u1161\u11a8\u1100\uac00\u212b\u0340\u0958\ufb1d\U0001d15e\U00011099\U000110ba",
    *ODD_SPACES,
    *" \n\0\u200b\ufeff\u180e\u0130\u03a3\u1e9e\U0001f468\u200d\U0001f469\U000105c9\U00010efd",
]
WORDS = [*sorted(set(TEXT.split())), "don't", "'s", "\u2019", "e", "A", "  ", " \n", "\t ", "7"]
texts = st.lists(
    st.one_of(
        st.sampled_from(WORDS),
        st.sampled_from([*ODD, " ", "\n"]),
        st.text(max_size=4),
        st.just(" "),
    ),
    max_size=25,
).map("".join)
