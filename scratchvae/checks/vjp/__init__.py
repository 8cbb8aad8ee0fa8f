"""check_vjp in its parts, in reading order.

Is it wrong   call, arrays, keeper and function: a pair, and whether it is a function at all; differences, complex_step
              and still: one derivative and its error bar; subject, directions, judge and look: a whole gradient; check.
Why           words and case: what is known; point and one_row: where; causes_*: the hypotheses; explain: which are
              believed; told and sentences: what is said.
"""
