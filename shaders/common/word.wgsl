// The unit a kernel moves without looking at it, for rows of any length; common/words4.wgsl is its twin for multiples of
// four. Words, not floats: bits arrive as they left.

alias W = u32;
