// What was pressed is about to go: the focus goes to where one writes, save on touch screens, where that would bring up
// the keyboard.
export function focusComposer(): void {
  if (!window.matchMedia("(pointer: coarse)").matches) document.getElementById("composer")?.focus();
}
