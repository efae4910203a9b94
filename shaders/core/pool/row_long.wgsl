// One row of a window of any columns, from `line` of the plane on, $STEP columns a step. Its twin is row_short.wgsl.

fn row(sum: Sum, plane: u32, line: u32, columns: vec2<u32>, inside: bool) -> Sum {
    var s = sum;
    for (var w = columns.x; w < columns.y; w += $STEP) {
        // Past the end of a window its last column is read again: a branch would cost more.
        //@ for k in 0..STEP
        let at$k = line + min(w + $k, columns.y - 1u);
        s = take(s, at$k, got(x[place(plane + at$k)], plane + at$k), inside & (w + $k < columns.y));
        //@ end
    }
    return next_row(s);
}
