// The unit a kernel moves without looking at it, for rows whose length is a multiple of four; common/word.wgsl is its
// twin for the rest. Words, not floats: bits arrive as they left.

alias W = vec4<u32>;
