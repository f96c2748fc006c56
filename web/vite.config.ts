import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  // The page's files are found from the <base> of index.html, wherever it is served.
  base: "./",
  build: {
    outDir: "dist",
    // The .gitkeep in it lets Go build without the page.
    emptyOutDir: false,
    sourcemap: false,
    // All browsers that run the page know modulepreload.
    modulePreload: { polyfill: false },
    // What is loaded when, for the test of its size and for bench-page.
    manifest: "assets/manifest.json",
  },
  server: {
    proxy: { "/api": { target: "http://127.0.0.1:8080", ws: true } },
  },
  test: {
    // A test that needs a document names jsdom in its first line: making one takes
    // longer than most tests.
    environment: "node",
    include: ["{src,report,worker}/**/*.test.{ts,tsx}"],
    setupFiles: ["src/test-setup.ts"],
    // Only a test that hangs runs into it, on a busy machine too.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
