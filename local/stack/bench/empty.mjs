// A function that does nothing: what `cargo xtask bench` compares ours with.
export const handler = async () => ({});
