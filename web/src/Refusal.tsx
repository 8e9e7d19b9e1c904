// The sentence that says why something was refused, told to screen readers as it appears.
export function Refusal({ text }: { text: string | null }) {
  if (text === null) return null;
  return (
    <p className="refusal" role="alert">
      {text}
    </p>
  );
}
