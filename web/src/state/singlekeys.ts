// Whether single characters are shortcuts. Who dictates, or hits keys by mistake, can switch
// them off (WCAG 2.1.4); it is kept on the device.
import { create } from "zustand";

const storageKey = "hikyaku-single-keys";

export const useSingleKeys = create<{ isOn: boolean }>()(() => ({
  isOn: globalThis.localStorage?.getItem(storageKey) !== "off",
}));

export function setSingleKeys(isOn: boolean) {
  localStorage.setItem(storageKey, isOn ? "on" : "off");
  useSingleKeys.setState({ isOn });
}
