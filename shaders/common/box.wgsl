// A box of `high` × `wide` around a place drawn from two words, cut at the image: what cutout and cutmix replace.

struct Box { top: u32, bottom: u32, left: u32, right: u32 }

fn box_around(row: u32, column: u32, high: u32, wide: u32, height: u32, width: u32) -> Box {
    let y = mulhi(row, height);
    let x = mulhi(column, width);
    // Half above and half below; of an odd size the larger half is below.
    return Box(max(y, high / 2u) - high / 2u, min(y + (high + 1u) / 2u, height),
               max(x, wide / 2u) - wide / 2u, min(x + (wide + 1u) / 2u, width));
}

fn within(b: Box, row: u32, column: u32) -> bool {
    return (row >= b.top) & (row < b.bottom) & (column >= b.left) & (column < b.right);
}
