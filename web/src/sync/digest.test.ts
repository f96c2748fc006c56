import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { messageDigest } from "./digest";

describe("messageDigest", () => {
  it("is that of the server", () => {
    expect(messageDigest("7", 2, "hello 飛脚")).toBe("0e4aa096255d4b01c4d84f9bbfa61f75"); // as in chat/failure_test.go
  });

  it("is the beginning of a SHA-256, whatever the length", () => {
    for (let length = 0; length < 300; length++) {
      const body = "ü".repeat(length % 7) + "x".repeat(length);
      const want = createHash("sha256").update(`12345\n0\n${body}`).digest("hex").slice(0, 32);
      expect(messageDigest("12345", 0, body)).toBe(want);
    }
  });
});
