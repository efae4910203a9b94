// A row of the product is a channel, and the products of a batch lie one below the other: a convolution's, image by image.

fn channel_of(row: u32, column: u32) -> u32 {
    return row % ${ROWS}u;
}
