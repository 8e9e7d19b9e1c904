import react from "@vitejs/plugin-react";

export default { base: "./", plugins: [react()], build: { target: "chrome123", chunkSizeWarningLimit: 10_000 } };
