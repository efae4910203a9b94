// The cells of one (chunk, channel) as one list, for a workgroup that walks them side by side. $LENGTH is p.length: each cell
// divides by it, which costs little where it is text.

struct Span {
    first: u32, // walk
    channel: u32,
    cells: u32,
}

fn span_of(at: u32) -> Span {
    let first = at / p.channels * p.per;
    return Span(first, at % p.channels, before(first + p.per) - before(first));
}

fn walk(s: Span, j: u32) -> u32 {
    return s.first + j / $LENGTH;
}

fn cell(s: Span, j: u32) -> u32 {
    return start_of(s.channel) + walk(s, j) * p.walk_stride + j % $LENGTH * p.step;
}
