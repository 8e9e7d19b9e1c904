// The page's pictures, drawn for Bise. The mark is two gusts of wind: a B, or lips seen from the side.
import type { ReactNode } from "react";

function Icon({ children }: { children: ReactNode }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.75" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true">
      {children}
    </svg>
  );
}

export const Mark = () => (
  <svg className="mark" viewBox="1 2 29 29" fill="none" stroke="currentColor" strokeWidth="2.75" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true">
    <path d="M3 15.2h16.2a5.4 5.4 0 1 0-5.2-6.9" />
    <path d="M8 20.4h13.6a4.6 4.6 0 1 1-4.4 6" />
  </svg>
);

export const PlusIcon = () => (
  <Icon>
    <path d="M12 5v14M5 12h14" />
  </Icon>
);
export const SearchIcon = () => (
  <Icon>
    <circle cx="10.5" cy="10.5" r="6" />
    <path d="m15 15 5 5" />
  </Icon>
);
export const FolderIcon = () => (
  <Icon>
    <path d="M3.5 18.5v-12h6l2 2.5h9v9.5h-17Z" />
  </Icon>
);
export const PinIcon = () => (
  <Icon>
    <path d="M9 4h6M10 4v6l-3 4h10l-3-4V4M12 14v6" />
  </Icon>
);
export const HourglassIcon = () => (
  <Icon>
    <path d="M7 4h10M7 20h10M8 4c0 5 8 5.500 8 8s-8 3-8 8M16 4c0 5-8 5.500-8 8s8 3 8 8" />
  </Icon>
);
export const MenuIcon = () => (
  <Icon>
    <path d="M4 7h16M4 12h11M4 17h16" />
  </Icon>
);
export const CloseIcon = () => (
  <Icon>
    <path d="m6 6 12 12M18 6 6 18" />
  </Icon>
);
export const ShareIcon = () => (
  <Icon>
    <path d="M10 14a4 4 0 0 0 5.7 0l3.1-3.1a4 4 0 0 0-5.7-5.7l-1 1M14 10a4 4 0 0 0-5.7 0l-3.1 3.1a4 4 0 0 0 5.7 5.7l1-1" />
  </Icon>
);
export const BoxIcon = () => (
  <Icon>
    <path d="M4 8h16v10.5A1.5 1.5 0 0 1 18.5 20h-13A1.5 1.5 0 0 1 4 18.5V8ZM3 4.5h18V8H3zM10 12h4" />
  </Icon>
);
export const PenIcon = () => (
  <Icon>
    <path d="m4 20 .9-4L16.5 4.4a1.9 1.9 0 0 1 2.7 0l.4.4a1.9 1.9 0 0 1 0 2.7L8 19.1 4 20Z" />
  </Icon>
);
export const BookIcon = () => (
  <Icon>
    <path d="M12 6.5C10 5 7 4.5 4 4.5v13.5c3 0 6 .5 8 2 2-1.5 5-2 8-2V4.5c-3 0-6 .5-8 2Zm0 0V20" />
  </Icon>
);
export const BinIcon = () => (
  <Icon>
    <path d="M4.5 7h15M9.5 7V4.5h5V7M6.5 7l.8 12.5h9.4L17.5 7M10.2 11v5M13.8 11v5" />
  </Icon>
);
export const SendIcon = () => (
  <Icon>
    <path d="M12 19V5M6 11l6-6 6 6" />
  </Icon>
);
export const StopIcon = () => (
  <Icon>
    <rect x="7.5" y="7.5" width="9" height="9" rx="1.5" fill="currentColor" />
  </Icon>
);
export const DownIcon = () => (
  <Icon>
    <path d="M12 5v14M6 13l6 6 6-6" />
  </Icon>
);
export const CopyIcon = () => (
  <Icon>
    <rect x="8.5" y="8.5" width="11" height="11" rx="2" />
    <path d="M15.5 5.5v-.2a1.8 1.8 0 0 0-1.8-1.8H6.3a1.8 1.8 0 0 0-1.8 1.8v7.4a1.8 1.8 0 0 0 1.8 1.8h.2" />
  </Icon>
);
export const CheckIcon = () => (
  <Icon>
    <path d="m5 12.5 4.5 4.5L19 7.5" />
  </Icon>
);
export const PreviousIcon = () => (
  <Icon>
    <path d="m14.5 6-6 6 6 6" />
  </Icon>
);
export const NextIcon = () => (
  <Icon>
    <path d="m9.5 6 6 6-6 6" />
  </Icon>
);
export const ContinueIcon = () => (
  <Icon>
    <path d="M5 12h13M13 7l5 5-5 5" />
  </Icon>
);
export const ThumbUpIcon = () => (
  <Icon>
    <path d="M7.5 11v8.5h-3V11h3ZM7.5 11l3.4-6.4a1.9 1.9 0 0 1 3.5 1.2L13.8 9.5h4.4a2 2 0 0 1 2 2.4l-1.2 6a2 2 0 0 1-2 1.6H7.5" />
  </Icon>
);
export const ThumbDownIcon = () => (
  <Icon>
    <path d="M16.5 13V4.5h3V13h-3ZM16.5 13l-3.4 6.4a1.9 1.9 0 0 1-3.5-1.2l.6-3.7H5.8a2 2 0 0 1-2-2.4l1.2-6a2 2 0 0 1 2-1.6h9.5" />
  </Icon>
);
export const InfoIcon = () => (
  <Icon>
    <circle cx="12" cy="12" r="8.5" />
    <path d="M12 11.5v4.5M12 8h.01" />
  </Icon>
);
export const LensIcon = () => (
  <Icon>
    <circle cx="10.5" cy="10.5" r="6" />
    <path d="m15 15 5 5M8 10.5h5M8 13h3" />
  </Icon>
);
export const SlidersIcon = () => (
  <Icon>
    <path d="M4 8h8m5 0h3M4 16h3m5 0h8" />
    <circle cx="14.5" cy="8" r="2.5" />
    <circle cx="9.5" cy="16" r="2.5" />
  </Icon>
);
export const LearnIcon = () => (
  <Icon>
    <path d="M4 18.5c3-1 5-3.5 6-7s3.5-6 10-6.5c-.5 6.5-3 9-6.5 10-2 .6-4 .9-5.5 2.5M4 18.5c1.5-3 5-6.5 9-8.5" />
  </Icon>
);
export const RetryIcon = () => (
  <Icon>
    <path d="M19 12a7 7 0 1 1-2.2-5.1L19 9M19 4.5V9h-4.5" />
  </Icon>
);
export const PersonIcon = () => (
  <Icon>
    <circle cx="12" cy="8" r="3.75" />
    <path d="M4.5 20c.8-4 3.7-6 7.5-6s6.7 2 7.5 6" />
  </Icon>
);
export const PeopleIcon = () => (
  <Icon>
    <circle cx="9" cy="8.5" r="3.25" />
    <path d="M3 19.5c.7-3.4 3-5.2 6-5.2s5.3 1.8 6 5.2M15.5 5.6a3.25 3.25 0 0 1 0 5.8M17.5 14.8c2 .7 3.1 2.3 3.5 4.7" />
  </Icon>
);
