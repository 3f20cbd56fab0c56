-- The tables that the SDK reads and writes, for PostgreSQL behind PostgREST.
--
-- What a client may rely on is decided here and nowhere else: times, message numbers and rights come from the
-- database, whatever a client sends. The development cloud (`cloud-dev/src/core/schema`, `policy.rs`) declares
-- the same columns, defaults, keys and rules; a test sends the same requests to both and compares the answers,
-- so a change belongs in both places.
--
-- Expects what every Supabase project has: the roles `anon`, `authenticated` and `service_role`, the table
-- `auth.users` and the function `auth.uid()`.

create schema if not exists private; -- helpers; not in the list of schemas that PostgREST serves
grant usage on schema private to anon, authenticated, service_role;

-- Tables ------------------------------------------------------------------------------------------------

create table public.profiles (
    id uuid primary key references auth.users (id) on delete cascade,
    display_name text,
    avatar_url text,
    bio text,
    preferences jsonb not null default '{}',
    onboarding_completed boolean not null default false,
    last_active_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table public.organizations (
    id uuid primary key default gen_random_uuid(),
    name text not null,
    slug text not null unique,
    subscription_tier text not null default 'free',
    subscription_status text not null default 'active',
    max_members integer not null default 3,
    max_workspaces integer not null default 10,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table public.org_memberships (
    id uuid primary key default gen_random_uuid(),
    org_id uuid not null references public.organizations (id) on delete cascade,
    user_id uuid not null references public.profiles (id) on delete cascade,
    role text not null default 'member' check (role in ('owner', 'admin', 'member', 'viewer')),
    joined_at timestamptz not null default now(),
    unique (org_id, user_id)
);

create table public.workspaces (
    id uuid primary key default gen_random_uuid(),
    org_id uuid not null references public.organizations (id) on delete cascade,
    name text not null,
    slug text not null,
    description text,
    status text not null default 'idle',
    task_goal text,
    current_step text,
    progress_data jsonb not null default '{}',
    next_steps jsonb not null default '[]',
    shared_memory jsonb not null default '{}',
    created_by uuid references public.profiles (id) on delete set null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(), -- the version that conditional writes compare
    last_active_at timestamptz,
    unique (org_id, slug)
);

create table public.conversations (
    id uuid primary key default gen_random_uuid(),
    workspace_id uuid not null references public.workspaces (id) on delete cascade,
    name text,
    conversation_type text not null default 'chat',
    started_by uuid references public.profiles (id) on delete set null,
    is_archived boolean not null default false,
    last_seq bigint not null default 0, -- the number of the newest message
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table public.cloud_agents (
    id uuid primary key default gen_random_uuid(),
    org_id uuid not null references public.organizations (id) on delete cascade,
    name text not null,
    slug text not null,
    agent_type text,
    description text,
    status text not null default 'idle',
    avatar_url text,
    system_prompt text,
    model_config jsonb,
    allowed_tools jsonb,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (org_id, slug)
);

create table public.messages (
    id uuid primary key default gen_random_uuid(),
    conversation_id uuid not null references public.conversations (id) on delete cascade,
    role text not null check (role in ('user', 'assistant', 'system', 'tool')),
    content text not null,
    sender_user_id uuid references public.profiles (id) on delete set null,
    sender_agent_id uuid references public.cloud_agents (id) on delete set null,
    model_used text,
    tool_calls jsonb,
    metadata jsonb not null default '{}',
    client_created_at timestamptz,
    seq bigint not null, -- see number_message
    created_at timestamptz not null default now(),
    unique (conversation_id, seq)
);

create table public.workspace_members (
    id uuid primary key default gen_random_uuid(),
    workspace_id uuid not null references public.workspaces (id) on delete cascade,
    user_id uuid not null references public.profiles (id) on delete cascade,
    role text not null default 'member',
    last_seen_at timestamptz,
    cursor_position jsonb,
    unique (workspace_id, user_id)
);

create table public.activity_feed (
    id uuid primary key default gen_random_uuid(),
    org_id uuid not null references public.organizations (id) on delete cascade,
    workspace_id uuid references public.workspaces (id) on delete cascade,
    actor_user_id uuid references public.profiles (id) on delete set null,
    action text not null,
    details jsonb not null default '{}',
    created_at timestamptz not null default now()
);

create table public.workspace_files (
    id uuid primary key default gen_random_uuid(),
    workspace_id uuid not null references public.workspaces (id) on delete cascade,
    file_path text not null,
    storage_path text not null,
    file_size bigint,
    checksum text,
    mime_type text,
    file_type text,
    version integer not null default 1,
    is_deleted boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (workspace_id, file_path)
);

-- PostgreSQL indexes keys, not references; without these every policy and every cascade would scan.
create index on public.org_memberships (user_id);
create index on public.workspaces (created_by);
create index on public.conversations (workspace_id);
create index on public.conversations (started_by);
create index on public.messages (sender_user_id);
create index on public.messages (sender_agent_id);
create index on public.workspace_members (user_id);
create index on public.activity_feed (org_id, created_at);
create index on public.activity_feed (workspace_id);
create index on public.activity_feed (actor_user_id);

-- What only the database sets ---------------------------------------------------------------------------

-- The time of the insert, kept by every update.
create function private.stamp_insert() returns trigger
language plpgsql set search_path = '' as $$
begin
    new.created_at := case tg_op when 'INSERT' then clock_timestamp() else old.created_at end;
    return new;
end $$;

-- The same, and the time of the last write. That one is a version: it moves on even when the clock does not,
-- so that a write on condition of the version read never overlooks another write.
create function private.stamp_write() returns trigger
language plpgsql set search_path = '' as $$
begin
    if tg_op = 'INSERT' then
        new.created_at := clock_timestamp();
        new.updated_at := new.created_at;
    else
        new.created_at := old.created_at;
        new.updated_at := greatest(clock_timestamp(), old.updated_at + interval '1 microsecond');
    end if;
    return new;
end $$;

-- Only a message moves the counter of its conversation; that update comes from within another trigger.
create function private.keep_counter() returns trigger
language plpgsql set search_path = '' as $$
begin
    if tg_op = 'INSERT' then
        new.last_seq := 0;
    elsif pg_trigger_depth() = 1 then
        new.last_seq := old.last_seq;
    end if;
    return new;
end $$;

-- Numbers the messages of a conversation in the order in which they become visible. The update holds the lock
-- of the conversation's row until the transaction ends, so whoever sees number n has every smaller number that
-- will ever exist, and may use it as a cursor. The caller need not have the right to update the conversation.
create function private.number_message() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if tg_op = 'UPDATE' then
        new.seq := old.seq;
        return new;
    end if;
    -- A message that is sent again takes no new number: it will not be stored.
    select m.seq into new.seq from public.messages m where m.id = new.id;
    if not found then
        update public.conversations c set last_seq = c.last_seq + 1
        where c.id = new.conversation_id
        returning c.last_seq into new.seq;
    end if;
    return new;
end $$;

create trigger stamp before insert or update on public.profiles
    for each row execute function private.stamp_write();
create trigger stamp before insert or update on public.organizations
    for each row execute function private.stamp_write();
create trigger stamp before insert or update on public.workspaces
    for each row execute function private.stamp_write();
create trigger stamp before insert or update on public.conversations
    for each row execute function private.stamp_write();
create trigger keep_counter before insert or update on public.conversations
    for each row execute function private.keep_counter();
create trigger stamp before insert or update on public.cloud_agents
    for each row execute function private.stamp_write();
create trigger stamp before insert or update on public.messages
    for each row execute function private.stamp_insert();
create trigger number before insert or update on public.messages
    for each row execute function private.number_message();
create trigger stamp before insert or update on public.activity_feed
    for each row execute function private.stamp_insert();
create trigger stamp before insert or update on public.workspace_files
    for each row execute function private.stamp_write();

-- Everybody who signs up has a profile, and an organization of their own.
create function private.add_person() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    called text := coalesce(
        new.raw_user_meta_data ->> 'display_name', new.raw_user_meta_data ->> 'full_name',
        new.raw_user_meta_data ->> 'name', split_part(new.email, '@', 1), '');
    org uuid := gen_random_uuid();
begin
    insert into public.profiles (id, display_name, avatar_url)
    values (new.id, called, new.raw_user_meta_data ->> 'avatar_url');
    insert into public.organizations (id, name, slug)
    values (org, called || '''s organization', 'personal-' || new.id);
    insert into public.org_memberships (org_id, user_id, role) values (org, new.id, 'owner');
    return new;
end $$;

create trigger add_person after insert on auth.users
    for each row execute function private.add_person();

-- Who may see and change what ---------------------------------------------------------------------------

-- These read the tables past their policies, or the policies would call themselves without end.
create function private.in_org(org uuid) returns boolean
language sql stable security definer set search_path = '' as $$
    select exists (
        select from public.org_memberships m where m.org_id = org and m.user_id = (select auth.uid()))
$$;

create function private.manages_org(org uuid) returns boolean
language sql stable security definer set search_path = '' as $$
    select exists (
        select from public.org_memberships m
        where m.org_id = org and m.user_id = (select auth.uid()) and m.role in ('owner', 'admin'))
$$;

create function private.in_workspace(workspace uuid) returns boolean
language sql stable security definer set search_path = '' as $$
    select exists (select from public.workspaces w where w.id = workspace and private.in_org(w.org_id))
$$;

create function private.manages_workspace(workspace uuid) returns boolean
language sql stable security definer set search_path = '' as $$
    select exists (select from public.workspaces w where w.id = workspace and private.manages_org(w.org_id))
$$;

create function private.in_conversation(conversation uuid) returns boolean
language sql stable security definer set search_path = '' as $$
    select exists (
        select from public.conversations c where c.id = conversation and private.in_workspace(c.workspace_id))
$$;

create function private.shares_org(person uuid) returns boolean
language sql stable security definer set search_path = '' as $$
    select exists (
        select from public.org_memberships mine
        join public.org_memberships theirs on theirs.org_id = mine.org_id
        where mine.user_id = (select auth.uid()) and theirs.user_id = person)
$$;

alter table public.profiles enable row level security;
alter table public.organizations enable row level security;
alter table public.org_memberships enable row level security;
alter table public.workspaces enable row level security;
alter table public.conversations enable row level security;
alter table public.cloud_agents enable row level security;
alter table public.messages enable row level security;
alter table public.workspace_members enable row level security;
alter table public.activity_feed enable row level security;
alter table public.workspace_files enable row level security;

create policy see on public.profiles for select to authenticated
    using (id = (select auth.uid()) or private.shares_org(id));
create policy change on public.profiles for update to authenticated
    using (id = (select auth.uid()));

create policy see on public.organizations for select to authenticated
    using (private.in_org(id));

create policy see on public.org_memberships for select to authenticated
    using (private.in_org(org_id));

create policy see on public.workspaces for select to authenticated
    using (private.in_org(org_id));
create policy add on public.workspaces for insert to authenticated
    with check ((created_by is null or created_by = (select auth.uid())) and private.in_org(org_id));
create policy change on public.workspaces for update to authenticated
    using (private.in_org(org_id));
create policy remove on public.workspaces for delete to authenticated
    using (private.manages_org(org_id));

create policy see on public.conversations for select to authenticated
    using (private.in_workspace(workspace_id));
create policy add on public.conversations for insert to authenticated
    with check ((started_by is null or started_by = (select auth.uid())) and private.in_workspace(workspace_id));
create policy change on public.conversations for update to authenticated
    using (private.in_workspace(workspace_id));
create policy remove on public.conversations for delete to authenticated
    using (private.manages_workspace(workspace_id));

-- Append-only: people add what they said or what their own tools answered, and never change it.
create policy see on public.messages for select to authenticated
    using (private.in_conversation(conversation_id));
create policy add on public.messages for insert to authenticated
    with check (sender_user_id = (select auth.uid()) and sender_agent_id is null
        and role in ('user', 'assistant') and private.in_conversation(conversation_id));

create policy see on public.cloud_agents for select to authenticated
    using (private.in_org(org_id));
create policy add on public.cloud_agents for insert to authenticated
    with check (private.manages_org(org_id));
create policy change on public.cloud_agents for update to authenticated
    using (private.manages_org(org_id));
create policy remove on public.cloud_agents for delete to authenticated
    using (private.manages_org(org_id));

create policy see on public.workspace_members for select to authenticated
    using (private.in_workspace(workspace_id));
create policy add on public.workspace_members for insert to authenticated
    with check (user_id = (select auth.uid()) and private.in_workspace(workspace_id));
create policy change on public.workspace_members for update to authenticated
    using (user_id = (select auth.uid()) and private.in_workspace(workspace_id));

create policy see on public.activity_feed for select to authenticated
    using (private.in_org(org_id));
create policy add on public.activity_feed for insert to authenticated
    with check (actor_user_id = (select auth.uid()) and private.in_org(org_id));

create policy see on public.workspace_files for select to authenticated
    using (private.in_workspace(workspace_id));
create policy add on public.workspace_files for insert to authenticated
    with check (private.in_workspace(workspace_id));
create policy change on public.workspace_files for update to authenticated
    using (private.in_workspace(workspace_id));
create policy remove on public.workspace_files for delete to authenticated
    using (private.manages_workspace(workspace_id));

-- Nobody who is not signed in may write, and no policy shows them a row either. A project grants everything on
-- new tables by default, `truncate` included, which no policy stops.
revoke all on all tables in schema public from anon, authenticated;
grant usage on schema public to anon, authenticated, service_role;
grant select on all tables in schema public to anon;
grant select, insert, update, delete on all tables in schema public to authenticated;
grant all on all tables in schema public to service_role;

-- Live updates, where the Realtime service is installed.
do $$ begin
    if exists (select from pg_publication where pubname = 'supabase_realtime') then
        alter publication supabase_realtime add table public.workspaces, public.conversations, public.messages,
            public.workspace_members, public.activity_feed, public.workspace_files, public.cloud_agents;
    end if;
end $$;

-- Who may join the private channel of a workspace, `workspace:<id>`: whoever is in it. Any other topic is nobody's.
create function private.in_topic(topic text) returns boolean
language sql stable security definer set search_path = '' as $$
    select case
        when topic ~ '^workspace:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
        then private.in_workspace(substr(topic, 11)::uuid)
        else false
    end
$$;

-- Presence, typing and broadcasts are rows of the Realtime service's own table for as long as a policy is asked.
do $$ begin
    if to_regclass('realtime.messages') is not null then
        create policy hear on realtime.messages for select to authenticated
            using (private.in_topic((select realtime.topic())));
        create policy speak on realtime.messages for insert to authenticated
            with check (private.in_topic((select realtime.topic())));
    end if;
end $$;
