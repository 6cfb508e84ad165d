import { Bot, Home, Inbox, ListTree, type LucideIcon, Server } from 'lucide-react';

/** The pages that are always a press away: by the navigation, by `g` and their key, and from the palette. */
export const PLACES: {
  to: '/' | '/runs' | '/inbox' | '/agents' | '/system';
  label: string;
  key: string;
  Icon: LucideIcon;
}[] = [
  { to: '/', label: 'Home', key: 'h', Icon: Home },
  { to: '/runs', label: 'Runs', key: 'r', Icon: ListTree },
  { to: '/inbox', label: 'Inbox', key: 'i', Icon: Inbox },
  { to: '/agents', label: 'Agents', key: 'a', Icon: Bot },
  { to: '/system', label: 'System', key: 's', Icon: Server },
];
