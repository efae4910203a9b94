// The cell of a kernel that moves words without looking at them, for rows of any length; common/words4.wgsl is its twin for
// multiples of four. Words, not floats: bits arrive as they left. Two neighbouring halves are a word.

alias Cell = u32;
