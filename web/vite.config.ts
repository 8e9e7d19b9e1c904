import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const SERVER = "http://127.0.0.1:8421";

export default defineConfig({
  plugins: [react(), onlyWoff2()],
  build: {
    // No data: URLs: the page's content security policy loads from its own address only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    license: { fileName: "assets/licences.md" },
    target: ["chrome123", "firefox121", "safari17.5"],
  },
  server: {
    // `npm run dev` beside a running `bise serve`: open the address that it printed, with the port changed to 5173.
    proxy: { "^/(api|enter)": { target: SERVER, changeOrigin: true, headers: { origin: SERVER } } },
  },
});

/** KaTeX names each font in three formats; every browser that can show the page reads the smallest. */
function onlyWoff2(): Plugin {
  return {
    name: "only-woff2",
    enforce: "pre",
    transform(code, id) {
      if (!id.includes("katex.min.css")) return null;
      return code.replaceAll(/,url\([^)]+\.(?:woff|ttf)\) format\("\w+"\)/g, "");
    },
  };
}
