// Where the rows of a tensor lie, in elements or vec4 as the kernel counts them: row i of head h of sample n begins at
// first + n·sample + h·head + i·row. So q, k and v may be tensors of their own, or lie side by side in the rows of one.

struct Strides { first: u32, sample: u32, head: u32, row: u32 }

// Where row 0 of a head begins. `head` counts those of all samples, `heads` those of one.
fn start(lies: Strides, heads: u32, head: u32) -> u32 {
    return lies.first + head / heads * lies.sample + head % heads * lies.head;
}
