// One row of a window of at most $STEP columns, from `line` of the plane on. Its twin is row_long.wgsl.

fn row(sum: Sum, plane: u32, line: u32, columns: vec2<u32>, inside: bool) -> Sum {
    var s = sum;
    // Past the end of a window its last column is read again: a branch would cost more.
    //@ for k in 0..STEP
    let at$k = line + min(columns.x + $k, columns.y - 1u);
    s = take(s, at$k, got(x[place(plane + at$k)], plane + at$k), inside & (columns.x + $k < columns.y));
    //@ end
    return next_row(s);
}
