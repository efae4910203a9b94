// The cell of a kernel that moves words without looking at them, for rows whose length is a multiple of four;
// common/word.wgsl is its twin for the rest. Words, not floats: bits arrive as they left.

alias Cell = vec4<u32>;
