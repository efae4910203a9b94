// The tensors of a launch. Params ends in a table of two rows for each: its first workgroup, its size and two words of the
// op's; then where it begins in each buffer, in vec4. The workgroups of a tensor follow those of the one before.

// The first of the two rows of the tensor that a workgroup belongs to.
fn row_of(group: u32) -> u32 {
    var low = 0u;
    var high = $ROWS / 2u;
    while (high - low > 1u) {
        let middle = (low + high) / 2u;
        if (p.tensors[2u * middle].x <= group) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return 2u * low;
}
