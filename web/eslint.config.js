import reactHooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";

/** Forbids the files of a folder of src to import from the others named. */
const layer = (folder, ...forbidden) => ({
  files: [`src/${folder}/**/*.{ts,tsx}`],
  rules: {
    "no-restricted-imports": [
      "error",
      {
        patterns: [
          {
            regex: `(^|/)(${forbidden.join("|")})(/|$)`,
            message: `${folder}/ does not depend on ${forbidden.join("/, ")}/.`,
          },
        ],
      },
    ],
  },
});

export default tseslint.config(
  { ignores: ["dist", "dist-report", "src/protocol/*.d.ts", "e2e/out"] },
  ...tseslint.configs.recommended,
  {
    files: ["{src,report,worker}/**/*.{ts,tsx}"],
    plugins: { "react-hooks": reactHooks },
    rules: {
      "react-hooks/rules-of-hooks": "error",
      "react-hooks/exhaustive-deps": "error",
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/consistent-type-imports": "error",
    },
  },
  // Imports point from features through state to sync and net, never back.
  layer("net", "sync", "state", "features", "ui", "text", "i18n"),
  layer("sync", "net", "state", "features", "ui", "text", "i18n"),
  layer("state", "features", "ui"),
  layer("ui", "sync", "state", "features"),
  layer("text", "net", "sync", "state", "features", "ui", "i18n"),
);
