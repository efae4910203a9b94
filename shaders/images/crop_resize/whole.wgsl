// The window of a sample: all of it, as it is.

fn window(sample: u32, view: u32) -> Window {
    return Window(0u, 0u, p.size, p.size, false);
}
