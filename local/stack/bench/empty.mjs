// An empty function, for comparison in `cargo xtask bench`.
export const handler = async () => ({});
