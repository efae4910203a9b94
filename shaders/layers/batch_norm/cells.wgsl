// The cells of an invocation of a kernel that writes every cell: up to four of one channel, a row apart. A workgroup owns 256
// columns of four rows: its index is (columns, rows in y and z).

struct Cells {
    first: u32,
    end: u32, // of the four rows, or of the sub-batch: cells from here on are not the invocation's
    channel: u32,
}

fn cells_of(wid: vec3<u32>, groups: vec3<u32>, lane: u32) -> Cells {
    let column = wid.x * 256u + lane;
    let depth = wid.z * groups.y + wid.y;
    let split = split_of(depth);
    let begin = split * p.split_stride;
    let row = begin + (depth - split * p.depth) * 4u * p.width;
    let end = min(row + 4u * p.width, begin + p.split_stride);
    let none = (column >= p.width) | (depth >= p.depths);
    return Cells(row + column, select(end, 0u, none), split * p.real + column / p.channel_stride % p.real);
}
